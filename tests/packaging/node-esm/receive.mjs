import * as hubwire from "hubwire";
import { receive } from "./receive.js";

console.log(await receive(hubwire, process.argv[2]));
