// Written by hubwire from the hub contract `Chat`. Do not edit: change the contract in Rust, and write it again.
import type { HubConnection } from "hubwire";

/** Bytes. */
export type Binary = Uint8Array;

export type Figures = {
  people: number;
  connections: number;
  messages: number;
  bytes: number;
};

export type File = {
  id: string;
  name: string;
  size: number;
  parts: number;
  sha256: string;
};

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]: JsonValue } | null;

export type Person = {
  name: string;
  connections: number;
};

export interface Chat {
  Say(text: string): void;
  Echo(value: JsonValue): JsonValue;
  Share(file: File): void;
  Part(id: string, index: number, bytes: Binary): void;
  Burst(count: number): number;
}

export interface ChatClient {
  ReceiveMessage(user: string, text: string): void;
  ReceiveFile(user: string, file: File): void;
  ReceivePart(user: string, id: string, index: number, bytes: Binary): void;
  Presence(people: Array<Person>): void;
  Clock(time: string): void;
  Metrics(figures: Figures): void;
  Tick(number: number): void;
}

/** A connection to `Chat`. */
export type ChatConnection = HubConnection<Chat, ChatClient>;
