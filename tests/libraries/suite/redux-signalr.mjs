// redux-signalr: a middleware; its handlers and thunks are given `dispatch`, `getState` and `invoke`.
import assert from "node:assert/strict";
import { applyMiddleware, legacy_createStore } from "redux";
import { HubConnectionBuilder, signalMiddleware, withCallbacks } from "redux-signalr";
import { until } from "./world.mjs";

export default async function (hub) {
  const told = [];
  const callbacks = withCallbacks().add("Said", (text) => (dispatch) => dispatch({ type: "said", text }));
  const connection = new HubConnectionBuilder().withUrl(`${hub}/hub`).withAutomaticReconnect([0, 100]).build();
  connection.onreconnected(() => told.push("reconnected"));
  const reducer = (state = [], action) => (action.type === "said" ? [...state, action.text] : state);
  const store = legacy_createStore(reducer, applyMiddleware(signalMiddleware({
    callbacks,
    connection,
    onStart: () => told.push("started"),
  })));
  await until("started", () => told.includes("started"));
  const say = (text) => store.dispatch((_dispatch, _getState, invoke) => invoke("Push", "Said", [text]));
  assert.equal(await store.dispatch((_dispatch, _getState, invoke) => invoke("Add", 1, 2)), 3);
  await say("first");
  await until("heard", () => store.getState().length === 1);

  await connection.send("Drop");
  await until("reconnected", () => told.includes("reconnected"));
  await say("second");
  await until("heard again", () => store.getState().length === 2);
  assert.deepEqual(store.getState(), ["first", "second"]);
  await connection.stop();
  assert.equal(connection.state, "Disconnected");
}
