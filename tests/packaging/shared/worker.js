import * as hubwire from "hubwire";
import { receive } from "./receive.js";

onmessage = async ({ data }) => {
  postMessage(await receive(hubwire, data).catch((error) => `failed: ${error}`));
};
