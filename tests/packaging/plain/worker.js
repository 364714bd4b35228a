import * as hubwire from "./node_modules/hubwire/src/index.js";
import { receive } from "./receive.js";

onmessage = async ({ data }) => {
  postMessage(await receive(hubwire, data).catch((error) => `failed: ${error}`));
};
