// Written by hubwire from the hub contract `Chat`. Do not edit: change the contract in Rust, and write it again.
import type { HubConnection } from "hubwire";

/** Bytes. */
export type Binary = Uint8Array;

/** The figures of the room. */
export type Figures = {
  /** How many users there are. */
  people: number;
  /** How many connections they have. */
  connections: number;
  /** How many messages were published. */
  messages: number;
  /** How many bytes of texts and files were published. */
  bytes: number;
};

/** What everybody is told of a file that comes in parts. */
export type File = {
  /** What its parts call it by. */
  id: string;
  /** The name that the user sees. */
  name: string;
  /** In bytes. */
  size: number;
  /** How many parts there will be. */
  parts: number;
  /** Of the whole content, in hexadecimal digits. */
  sha256: string;
};

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]: JsonValue } | null;

/** Somebody in the room. */
export type Person = {
  /** The user's name. */
  name: string;
  /** How many there are: one for each window. */
  connections: number;
};

/** What the room offers. */
export interface Chat {
  /** Says something to everybody. */
  Say(text: string): void;
  /** Answers with the same value. */
  Echo(value: JsonValue): JsonValue;
  /** Announces a file to everybody. */
  Share(file: File): void;
  /** Gives a part of a file to everybody, in order. */
  Part(id: string, index: number, bytes: Binary): void;
  /** Has `tick` called that many times; returns how many times it was. */
  Burst(count: number): number;
}

/** What the room calls. */
export interface ChatClient {
  /** Somebody has said something. */
  ReceiveMessage(user: string, text: string): void;
  /** Somebody has announced a file. */
  ReceiveFile(user: string, file: File): void;
  /** A part of a file has come. */
  ReceivePart(user: string, id: string, index: number, bytes: Binary): void;
  /** Who is in the room. */
  Presence(people: Array<Person>): void;
  /** The time of the server, in ISO 8601. */
  Clock(time: string): void;
  /** The figures of the room. */
  Metrics(figures: Figures): void;
  /** One call of a burst. */
  Tick(number: number): void;
}

/** A connection to `Chat`. */
export type ChatConnection = HubConnection<Chat, ChatClient>;
