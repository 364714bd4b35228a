// Files: sent in parts, put together and checked where they arrive.
// @ts-check
import { bytes as inBytes, element, milliseconds } from "../../../src/dashboard/look/elements.js";
import { RoomError } from "./room.js";

const PART = 256 * 1024;
const LARGEST = 16 * 1024 * 1024;

/**
 * Sends a file to everybody.
 *
 * @param {import("./chat.d.ts").ChatConnection} connection
 * @param {globalThis.File} file
 */
export async function sendFile(connection, file) {
  if (file.size > LARGEST) throw new RoomError(`A file has at most ${inBytes(LARGEST)}.`);
  const content = new Uint8Array(await file.arrayBuffer());
  const parts = Math.max(1, Math.ceil(content.length / PART));
  const id = crypto.randomUUID();
  const about = { id, name: file.name, size: content.length, parts, sha256: await sha256(content) };
  await connection.invoke("Share", about);
  for (let index = 0; index < parts; index += 1) {
    await connection.invoke("Part", id, index, content.subarray(index * PART, (index + 1) * PART));
  }
}

/** The files that are on their way to this page. */
export class Incoming {
  #files = new Map();

  /**
   * A file was announced; returns what to show of it.
   *
   * @param {import("./chat.d.ts").File} file
   */
  announce({ id, name, size, parts, sha256: expected }) {
    const shown = element("div", "text file");
    const bar = element("progress");
    bar.max = parts;
    bar.value = 0;
    bar.ariaLabel = `Arriving: ${name}`;
    const says = element("span", "file-says", inBytes(size));
    shown.append(element("span", "file-name", name), bar, says);
    if (size <= LARGEST) {
      this.#files.set(id, { name, size, parts, expected, shown, bar, says, came: [], started: performance.now() });
    }
    return shown;
  }

  /** A part of a file has come. */
  async part(id, index, content) {
    const file = this.#files.get(id);
    if (!file || index !== file.came.length) return;
    file.came.push(content);
    file.bar.value = file.came.length;
    if (file.came.length < file.parts) return;
    this.#files.delete(id);
    const took = performance.now() - file.started;
    const blob = new Blob(file.came);
    const actual = await sha256(await blob.arrayBuffer());
    if (blob.size !== file.size || actual !== file.expected) {
      fail(file, "arrived damaged");
      return;
    }
    const link = element("a", "file-name", file.name);
    link.href = URL.createObjectURL(blob);
    link.download = file.name;
    const says = `${inBytes(file.size)} in ${milliseconds(took)}, SHA-256 verified`;
    file.shown.replaceChildren(link, element("span", "file-says", says));
  }

  /** The connection is gone, and the parts that were on their way with it. */
  breakOff() {
    for (const file of this.#files.values()) fail(file, "broken off");
    this.#files.clear();
  }
}

function fail({ name, shown }, why) {
  shown.replaceChildren(element("span", "file-name", name), element("span", "file-says bad", why));
}

async function sha256(content) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
