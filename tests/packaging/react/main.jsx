// A React component that renders what it receives, mounted twice as StrictMode does.
import { HubConnectionBuilder } from "hubwire";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { show } from "./show.js";

let mounts = 0;

function Clock({ hub, done }) {
  const [time, setTime] = useState();
  useEffect(() => {
    mounts += 1;
    const connection = new HubConnectionBuilder().withUrl(hub).configureLogging("none").build();
    connection.on("Clock", setTime);
    // The first of the two mounts is over before its connection is up.
    connection.start().catch((error) => {
      if (error.code !== "Stopped") done(`failed: ${error}`);
    });
    return () => {
      connection.stop();
    };
  }, [hub]);
  useEffect(() => {
    if (time) done(document.body.innerText.trim());
  }, [time]);
  return <p>{time && `received ${time}`}</p>;
}

show({
  strict: async (hub) => {
    const received = await new Promise((resolve) => {
      createRoot(document.querySelector("#app")).render(<StrictMode><Clock hub={hub} done={resolve} /></StrictMode>);
    });
    return mounts === 2 ? received : `mounted ${mounts} times`;
  },
});
