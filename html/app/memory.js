/** What is remembered: of this tab over a reload, of this browser for good.
 *  A browser that forbids it has a page that forgets, and works. */

function memory(storage) {
    return {
        get(name, otherwise = null) {
            try {
                return JSON.parse(storage().getItem(`flux.${name}`))
                    ?? otherwise;
            } catch {
                return otherwise;
            }
        },
        set(name, value) {
            try {
                storage().setItem(`flux.${name}`, JSON.stringify(value));
            } catch {
                // forgotten, then
            }
        },
    };
}

export const tab = memory(() => sessionStorage);
export const browser = memory(() => localStorage);
