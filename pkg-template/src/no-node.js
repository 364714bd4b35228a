// What a bundle for browsers has in place of `node.js`: where such a bundle runs in Node.js, it does as in a browser.
export const node = undefined;
