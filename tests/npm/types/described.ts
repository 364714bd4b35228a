// A page that uses a hub's description in Rust. What is wrong is expected to be an error, so that it is one.
import { HubConnectionBuilder, Subject } from "hubwire";
import type { Attachment, Chat, ChatClient, ChatConnection, ClockConnection, Level, Message } from "./chat.d.ts";
import type { ChatConnection as PackedConnection } from "./chat-messagepack.d.ts";

const chat = new HubConnectionBuilder().withUrl("/chat").build<Chat, ChatClient>();
const same: ChatConnection = chat;
const clock: ClockConnection = new HubConnectionBuilder().withUrl("/clock").build();
const packed: PackedConnection = new HubConnectionBuilder().withUrl("/chat").build();

const attachment: Attachment = { size: 1, content: "AQID", tags: { a: [1, 2] } };
const message: Message = {
  userName: "alice",
  text: "hello",
  sentAt: "2026-11-24T10:30:00Z",
  "re-sent": false,
  attachments: [attachment],
  reaction: { kind: "emoji", code: "x" },
};
// @ts-expect-error another tag
const mistagged: Message = { ...message, reaction: { kind: "smile" } };
// @ts-expect-error what serde skips is not sent
const skipped: Message = { ...message, local: 1 };

export async function calls() {
  const stamp: number = await same.invoke("SendMessage", message, "room");
  const people: { [name: string]: Level } = await chat.invoke("people.online");
  const page = await chat.invoke("History", 7, ["debug"]);
  const next: number | null = page.next;
  const from: string[] = page.items.map((item) => item.userName);
  const levels: Level[] = (await chat.invoke("Levels")).items;
  const found: Message | null = await chat.invoke("Find", null, [1, 0.5]);
  await chat.send("Log", "line", "info");
  for await (const number of chat.stream("Counter", 3)) number.toFixed();
  for await (const hit of chat.stream("Search", new Subject<string>())) hit?.text.trim();
  const average: number | null = await chat.invoke("Average", samples(), new Subject<Attachment>());
  const nothing: void = await chat.invoke("Anything", { any: ["value", 1, null] });
  clock.stream("Ticks").subscribe({ next: (time: string) => time, error() {}, complete() {} });

  // @ts-expect-error no such method
  await chat.invoke("Send", message);
  // @ts-expect-error a property is missing
  await chat.invoke("SendMessage", { userName: "alice", text: "hello" }, "room");
  // @ts-expect-error an argument is missing
  await chat.invoke("SendMessage", message);
  // @ts-expect-error no such level
  await chat.send("Log", "line", "error");
  // @ts-expect-error it may be null
  (await chat.invoke("Find", "text", [1, 2])).text;
  // @ts-expect-error it streams
  await chat.invoke("Counter", 3);
  // @ts-expect-error it does not stream
  chat.stream("History", 7, []);
  // @ts-expect-error items of another kind
  await chat.invoke("Average", new Subject<string>(), new Subject<Attachment>());
  // @ts-expect-error the clock has no such method
  clock.invoke("SendMessage", message, "room");
  return { stamp, people, next, from, levels, found, average, nothing, mistagged, skipped };
}

async function* samples() {
  yield 1;
}

export function handlers() {
  const received = ({ userName, reaction }: Message) => {
    console.log(userName, reaction?.kind === "quote" && reaction.of.text);
  };
  chat.on("ReceiveMessage", received);
  chat.off("ReceiveMessage", received);
  chat.on("Confirm", (question) => question.length > 1);
  chat.on("Confirm", async (question) => question.length > 1);
  chat.on("Ready", () => {});

  // @ts-expect-error another type
  chat.on("ReceiveMessage", (text: string) => text);
  // @ts-expect-error another result
  chat.on("Confirm", () => "yes");
  // @ts-expect-error no such method
  chat.on("Closed", () => {});
  // @ts-expect-error the clock calls nothing
  clock.on("ReceiveMessage", () => {});
}

export async function messagePack() {
  const counted = packed.stream("Counter", 2n ** 60n);
  for await (const number of counted) {
    // @ts-expect-error it may be a bigint
    number.toFixed();
    if (typeof number === "number") number.toFixed();
  }
  packed.on("ReceiveMessage", ({ sentAt, attachments: [first] }) => {
    sentAt.getTime();
    first.content.subarray(1);
    const size: number | bigint = first.size;
    console.log(size);
  });
}
