import * as hubwire from "hubwire";
import { check } from "./check.js";

hubwire
  .initialize()
  .then(() => check(hubwire))
  .catch((error) => {
    document.title = String(error);
  });
