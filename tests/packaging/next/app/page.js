"use client";
// A page that is rendered on the server, and then receives.

import { HubConnectionBuilder } from "hubwire";
import { useEffect } from "react";
import { receive } from "../receive.js";
import { show } from "../show.js";

export default function Page() {
  useEffect(() => show({ page: (hub) => receive({ HubConnectionBuilder }, hub) }), []);
  return <p>{new HubConnectionBuilder().withUrl("https://example.com/chat").build().state}</p>;
}
