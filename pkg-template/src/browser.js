// The file for `<script>`: one global, `signalR`, which has what those of the official packages have together.
import { MessagePackHubProtocol } from "./messagepack.js";

export * from "./eager.js";
export const protocols = { msgpack: { MessagePackHubProtocol } };
