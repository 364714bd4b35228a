// Written by hubwire from the hub contract `Chat` and `Clock`. Do not edit: change the contract in Rust, and write it again.
import type { HubConnection } from "hubwire";

export type Attachment = {
  size: number;
  content: Binary;
  tags: { [key in string]: Array<number> };
};

/** Bytes in base64. */
export type Binary = string;

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
  next: number | null;
};

/** Ways to react. */
export type Reaction = { "kind": "like" } | { "kind": "emoji", code: string, } | { "kind": "quote", of: Message, };

export type Stamp = number;

/** A point in time in ISO 8601. */
export type Timestamp = string;

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
  Counter(count: number): AsyncIterable<number>;
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

export interface Clock {
  Ticks(): AsyncIterable<Timestamp>;
}

/** A connection to `Chat`. */
export type ChatConnection = HubConnection<Chat, ChatClient>;

/** A connection to `Clock`. */
export type ClockConnection = HubConnection<Clock, {}>;
