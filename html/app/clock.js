/**
 * The server's clock: ages are told by it, whatever the reader's own clock
 * says. One look at the Date of an answer is enough, to a second.
 */

const TRUSTED = 2000;           // ms: less than that is no difference
let offset = 0;

export const now = () => Date.now() + offset;

export async function setClock() {
    const asked = Date.now();
    try {
        const answer = await fetch(location.pathname, { method: "HEAD",
                                                        cache: "no-store" });
        const told = Date.parse(answer.headers.get("date"));
        const here = (asked + Date.now()) / 2;
        // Date has whole seconds: half of one is lost on average
        offset = Math.abs(told + 500 - here) > TRUSTED ? told + 500 - here : 0;
    } catch {
        // the reader's clock has to do
    }
}
