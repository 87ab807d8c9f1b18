/** A large window is not left half empty, a small one not filled up. */

const BELOW = 8;                // rem: the list's end, the system strip

/**
 * @param {HTMLElement} list
 * @param {number} least
 * @param {number} most
 * @param {() => void} changed  the window's size did
 * @returns {() => number} how many rows the window has room for
 */
export function fitting(list, least, most, changed) {
    let count = 0;

    function measure() {
        const rows = list.children.length;
        const rem = parseFloat(getComputedStyle(
            document.documentElement).fontSize);
        const { top, height } = list.getBoundingClientRect();
        const room = innerHeight - (top + scrollY) - BELOW * rem;
        count = Math.min(most, Math.max(
            least, Math.floor(room / (height / rows))));
    }

    addEventListener("resize", () => {
        count = 0;
        changed();
    });
    return () => {
        if (!count && list.children.length) {
            measure();
            changed();
        }
        return count || least;
    };
}
