// A client's connection to a mock hub, seen from the hub: it speaks the hub protocol.
import { MessageType, TransferFormat } from "./enums.js";
import { textOf } from "./errors.js";
import { Call, runCall, Upload } from "./testing-call.js";
import { readMessages } from "./testing-messagepack.js";
import { Replay } from "./testing-replay.js";

const SEPARATOR = "\x1e";

/** ASCII, whatever a text in it is made of: it goes into binary frames as it is. */
const ascii = (object) =>
  JSON.stringify(object).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

const bytesOf = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));

export class MockConnection {
  #core;
  #session;
  #link;
  #request;
  #protocol;
  #replay;
  #stalled = false;
  #over = false;
  #running = new Map();
  #uploads = new Map();
  #asked = new Map();
  #count = 0;

  /** `link` carries data to the client: `send(data)`, `close()` and `drop()`, each done when its promise is. */
  constructor(core, session, link, request) {
    this.#core = core;
    this.#session = session;
    this.#link = link;
    const negotiate = session.request;
    this.#request = {
      ...request,
      headers: { ...negotiate.headers, ...request.headers },
      accessToken: request.accessToken ?? negotiate.accessToken,
    };
    if (session.useStatefulReconnect) this.#replay = new Replay();
    session.connection = this;
  }

  get connectionId() {
    return this.#session.connectionId;
  }

  get isOpen() {
    return this.#protocol !== undefined && !this.#over;
  }

  get transport() {
    return this.#request.transport;
  }

  get protocol() {
    return this.#protocol?.name;
  }

  get url() {
    return this.#request.url;
  }

  get headers() {
    return this.#request.headers;
  }

  get accessToken() {
    return this.#request.accessToken;
  }

  send(name, ...args) {
    this.#needOpen();
    return this.#write({ type: MessageType.Invocation, target: name, arguments: args });
  }

  invoke(name, ...args) {
    this.#needOpen();
    this.#count += 1;
    const invocationId = `mock-${this.#count}`;
    return new Promise((resolve, reject) => {
      this.#asked.set(invocationId, { resolve, reject });
      this.#write({ type: MessageType.Invocation, invocationId, target: name, arguments: args });
    });
  }

  drop() {
    this.#needOpen();
    // What the client does not know to be over goes on with its next socket.
    if (!this.#replay) this.#end("The connection was dropped.");
    this.#link.drop();
  }

  close({ error, allowReconnect = false } = {}) {
    this.#needOpen();
    this.#closeWith({ error, allowReconnect });
  }

  stall() {
    this.#needOpen();
    this.#stalled = true;
  }

  #needOpen() {
    if (!this.isOpen) throw new Error(`The connection '${this.connectionId}' is not open.`);
  }

  #closeWith(close) {
    this.#write({ type: MessageType.Close, ...close });
    this.#end("The hub closed the connection.");
    this.#link.close();
  }

  /** Data has come from the client. */
  receive(data) {
    if (this.#over || this.#stalled) return;
    try {
      const rest = this.#protocol ? data : this.#shakeHands(data);
      if (rest?.length > 0) this.#read(rest);
    } catch (error) {
      if (this.#protocol) this.#closeWith({ error: `The mock hub cannot read what the client sent: ${error.message}` });
      else this.#reject(`The mock hub cannot read the handshake: ${error.message}`);
    }
    // A hub pings on its own. Instead, since this one has no timer: no client that is at work finds it silent.
    if (this.isOpen) this.#write({ type: MessageType.Ping });
  }

  /** Another socket of a connection that outlives them. */
  resume(link) {
    this.#link = link;
    this.#stalled = false;
    const { sequenceId, frames } = this.#replay.again();
    this.#write({ type: MessageType.Sequence, sequenceId });
    for (const frame of frames) link.send(frame);
  }

  /** The client's socket is gone. Whether for good is not known where it may come back. */
  lost({ forGood = !this.#replay } = {}) {
    if (forGood) this.#end("The connection was lost.");
  }

  #shakeHands(data) {
    const end = typeof data === "string" ? data.indexOf(SEPARATOR) : data.indexOf(SEPARATOR.charCodeAt(0));
    if (end < 0) throw new Error("it is incomplete.");
    const request = data.slice(0, end);
    const { protocol, version } = JSON.parse(typeof request === "string" ? request : String.fromCharCode(...request));
    const found = this.#core.protocols.find(({ name }) => name === protocol);
    if (!found) return this.#reject(`The protocol '${protocol}' is not supported.`);
    if (version > found.version) {
      return this.#reject(`The server does not support version ${version} of the '${protocol}' protocol.`);
    }
    this.#protocol = found;
    this.#answer({});
    this.#core.connected(this);
    return data.slice(end + 1);
  }

  #reject(error) {
    this.#answer({ error });
    this.#end(error);
    this.#link.close();
  }

  #answer(response) {
    const text = ascii(response) + SEPARATOR;
    this.#link.send(this.#protocol?.transferFormat === TransferFormat.Binary ? bytesOf(text) : text);
  }

  #read(data) {
    for (const message of readMessages(this.#protocol, data)) {
      if (this.#over) return;
      if (this.#replay?.isKnown(message)) continue;
      this.#handle(message);
    }
    if (this.#replay?.hasNews) this.#write({ type: MessageType.Ack, sequenceId: this.#replay.received });
  }

  #handle(message) {
    const { type, invocationId: id } = message;
    switch (type) {
      case MessageType.Invocation:
      case MessageType.StreamInvocation:
        this.#call(message);
        break;
      case MessageType.StreamItem:
        this.#uploads.get(id)?.next(message.item);
        break;
      case MessageType.Completion:
        this.#completed(message);
        break;
      case MessageType.CancelInvocation:
        this.#running.get(id)?.cancel();
        break;
      case MessageType.Close:
        this.#end("The client closed the connection.");
        break;
      case MessageType.Ack:
        this.#replay?.acknowledged(message.sequenceId);
        break;
    }
  }

  #call(message) {
    const { invocationId: id, streamIds } = message;
    const streams = (streamIds ?? []).map((streamId) => {
      const upload = new Upload();
      this.#uploads.set(streamId, upload);
      return upload.stream;
    });
    const call = new Call(this, message, streams);
    const running = runCall(this.#core, call, {
      item: (item) => this.#write({ type: MessageType.StreamItem, invocationId: id, item }),
      done: (completion) => {
        this.#running.delete(id);
        // Nobody waits for the result of a `send`.
        if (id !== undefined && id !== null) this.#complete(id, completion);
      },
    });
    if (id !== undefined && id !== null && !running.isDone) this.#running.set(id, running);
  }

  #complete(invocationId, completion) {
    try {
      this.#write({ type: MessageType.Completion, invocationId, ...completion });
    } catch (error) {
      this.#write({ type: MessageType.Completion, invocationId, error: `The result cannot be written: ${textOf(error)}` });
    }
  }

  #completed({ invocationId: id, error, result }) {
    const upload = this.#uploads.get(id);
    if (upload) {
      this.#uploads.delete(id);
      upload.end(error);
      return;
    }
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (error) asked?.reject(new Error(error));
    else asked?.resolve(result);
  }

  /** Hands a message to the client. */
  #write(message) {
    if (this.#over || this.#stalled) return Promise.resolve();
    const data = this.#protocol.writeMessage(message);
    const frame = typeof data === "string" ? data : new Uint8Array(data);
    this.#replay?.sent(message, frame);
    return this.#link.send(frame);
  }

  #end(why) {
    if (this.#over) return;
    this.#over = true;
    this.#session.isOver = true;
    this.#core.ended(this);
    for (const running of this.#running.values()) running.abandon();
    for (const upload of this.#uploads.values()) upload.end(why);
    for (const { reject } of this.#asked.values()) reject(new Error(why));
    for (const map of [this.#running, this.#uploads, this.#asked]) map.clear();
  }
}
