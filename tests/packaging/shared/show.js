/** Puts the end of one of several ways to receive into the page's title; the address says which, and from where. */
export function show(ways) {
  const { way, hub } = Object.fromEntries(new URLSearchParams(location.search));
  ways[way](hub).then(
    (text) => { document.title = text; },
    (error) => { document.title = `failed: ${error}`; },
  );
}

/** Has a dedicated worker receive. */
export const ask = (worker, hub) =>
  new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(`${data} in a worker`);
    worker.onerror = (event) => reject(new Error(event.message ?? "the worker does not load"));
    worker.postMessage(hub);
  });
