export const playwrightTests = () => {};
