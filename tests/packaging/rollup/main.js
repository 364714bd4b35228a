import * as hubwire from "hubwire";
import { receive } from "./receive.js";
import { show } from "./show.js";

show({
  page: (hub) => receive(hubwire, hub),
  background: (hub) => receive(hubwire, hub, (builder) => builder.withWorker()),
});
