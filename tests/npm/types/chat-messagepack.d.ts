// Written by hubwire from the hub contract `Chat`. Do not edit: change the contract in Rust, and write it again.
import type { HubConnection } from "hubwire";

export type Attachment = {
  size: number | bigint;
  content: Binary;
  tags: { [key in string]: Array<number> };
};

/** Bytes. */
export type Binary = Uint8Array;

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]: JsonValue } | null;

export type Level = "debug" | "info";

/** A line of the chat. */
export type Message = {
  /** Who wrote it. */
  userName: string;
  text: string;
  sentAt: Timestamp;
  "re-sent": boolean;
  attachments: Array<Attachment>;
  reaction: Reaction | null;
};

export type Page<T> = {
  items: Array<T>;
  next: number | bigint | null;
};

/** Ways to react. */
export type Reaction = { "kind": "like" } | { "kind": "emoji", code: string, } | { "kind": "quote", of: Message, };

export type Stamp = number | bigint;

/** A point in time. */
export type Timestamp = Date;

/**
 * What the chat offers.
 *
 * Its comments come along, even with `*\/` in them.
 */
export interface Chat {
  /** Sends a message to everybody. */
  SendMessage(message: Message, in_: string): Stamp;
  "people.online"(): { [key in string]: Level };
  History(lastDays: number, levels: Array<Level>): Page<Message>;
  Levels(): Page<Level>;
  Find(text: string | null, from: [number, number]): Message | null;
  /** @deprecated use `history` */
  Everything(): void;
  Log(line: string, _level: Level): void;
  /** Counts. */
  Counter(count: number | bigint): AsyncIterable<number | bigint>;
  Search(words: AsyncIterable<string>): AsyncIterable<Message | null>;
  Average(samples: AsyncIterable<number>, weights: AsyncIterable<Attachment>): number | null;
  Anything(value: JsonValue): void;
}

/** What it calls. */
export interface ChatClient {
  /** A message was sent. */
  ReceiveMessage(message: Message): void;
  Confirm(question: string): boolean;
  Ready(): void;
}

/** A connection to `Chat`. */
export type ChatConnection = HubConnection<Chat, ChatClient>;
