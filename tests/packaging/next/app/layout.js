// The layout that Next.js asks for.
export const metadata = { title: "loading" };

export default ({ children }) => <html><body>{children}</body></html>;
