// What the libraries expect of a page, in Node.js, and what their tests share.
import { JSDOM } from "jsdom";
import WebSocket from "ws";

const { window } = new JSDOM("<!doctype html><title>libraries</title>", { url: "http://localhost/", pretendToBeVisual: true });
for (const name of ["window", "document", "localStorage", "HTMLElement", "SVGElement", "Element", "Node"]) {
  Object.defineProperty(globalThis, name, { configurable: true, writable: true, value: name === "window" ? window : window[name] });
}
// Node.js has one from version 22 on.
globalThis.WebSocket ??= WebSocket;
// And this from version 21 on.
globalThis.navigator ??= window.navigator;

/** Waits until something is so. */
export async function until(what, condition) {
  for (const start = Date.now(); !condition(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (Date.now() - start > 8000) throw new Error(`not ${what}`);
  }
}
