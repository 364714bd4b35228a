import * as hubwire from "hubwire/slim";
import { check } from "./check.js";

hubwire
  .initialize(fetch("/hubwire.wasm"))
  .then(() => check(hubwire))
  .catch((error) => {
    document.title = String(error);
  });
