// What a server that renders pages does: import, and describe a connection. None of it may do anything yet.
const touched = [];
const watch = (owner, name) => {
  const original = owner[name];
  owner[name] = function (...args) {
    touched.push(name);
    return new.target ? new original(...args) : original.apply(this, args);
  };
};
for (const name of ["fetch", "setTimeout", "setInterval", "atob", "Blob", "MessageChannel", "BroadcastChannel"]) {
  watch(globalThis, name);
}
for (const name of ["compile", "instantiate", "Module", "Instance"]) watch(WebAssembly, name);
const before = Object.keys(globalThis);

const { HubConnectionBuilder } = await import("hubwire");
const { initialize } = await import("hubwire/slim");
const connection = new HubConnectionBuilder().withUrl("https://example.com/chat").build();
connection.on("Clock", () => {});
if (touched.length > 0) throw new Error(`touched ${touched}`);
if (Object.keys(globalThis).length !== before.length) throw new Error("left something global behind");
console.log(connection.state, typeof initialize);
