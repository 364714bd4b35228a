import * as hubwire from "hubwire";
import { check } from "./check.js";

try {
  check(hubwire);
} catch (error) {
  document.title = String(error);
}
