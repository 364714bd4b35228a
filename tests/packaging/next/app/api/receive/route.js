// A route handler that receives, on the server.
import * as hubwire from "hubwire";
import { receive } from "../../../receive.js";
export async function GET(request) {
  return new Response(await receive(hubwire, new URL(request.url).searchParams.get("hub")).catch((error) => `failed: ${error}`));
}
