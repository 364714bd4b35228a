// An Angular component, compiled in the page, that renders what it receives in its zone.
import "zone.js";
import "@angular/compiler";
import { Component, NgZone, provideZoneChangeDetection } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";
import { HubConnectionBuilder } from "hubwire";
import { show } from "./show.js";

let hub: string;
let done: (text: string) => void;

@Component({ selector: "app-clock", template: "<p>{{ received }}</p>" })
class Clock {
  received = "";

  async ngOnInit() {
    const connection = new HubConnectionBuilder().withUrl(hub).configureLogging("none").build();
    const message = new Promise<string>((resolve) => connection.on("Clock", resolve));
    await connection.start();
    const time = await message;
    await connection.stop();
    // Only what happens in the zone is noticed.
    this.received = `received ${time}${NgZone.isInAngularZone() ? "" : " outside the zone"}`;
  }

  ngAfterViewChecked() {
    if (this.received) setTimeout(() => done(document.body.innerText.trim()));
  }
}

show({
  zone: async (url: string) => {
    hub = url;
    const received = new Promise<string>((resolve) => { done = resolve; });
    await bootstrapApplication(Clock, { providers: [provideZoneChangeDetection()] });
    return received;
  },
});
