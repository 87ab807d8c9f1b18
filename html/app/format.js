/** Numbers and times as the reader writes them: their locale, their zone. */

const locale = navigator.languages?.length ? [...navigator.languages] : "en";
const decimals = new Map();

function decimal(places, more) {
    const key = places + JSON.stringify(more ?? "");
    if (!decimals.has(key)) {
        decimals.set(key, new Intl.NumberFormat(locale, {
            minimumFractionDigits: places, maximumFractionDigits: places,
            ...more }));
    }
    return decimals.get(key);
}

/** A decimal as the provider wrote it: "93426.00" keeps its two places. */
export function price(value) {
    if (value === null || value === undefined || value === "") {
        return "–";
    }
    const digits = String(value);
    const point = digits.indexOf(".");
    return decimal(point < 0 ? 0 : Math.min(digits.length - point - 1, 8))
        .format(digits);
}

/** Percent with its sign; the arrow beside it is the card's. */
export function percent(value) {
    return decimal(2, { style: "percent", signDisplay: "exceptZero" })
        .format(value / 100);
}

/** A number beside an axis whose marks are `step` apart. */
export function axis(value, step) {
    return decimal(step > 0 ? Math.min(8, Math.max(0,
        Math.ceil(-Math.log10(step)))) : 2).format(value);
}

export function short(value) {
    return decimal(0, { notation: "compact", minimumFractionDigits: 0,
                        maximumFractionDigits: 1 }).format(value);
}

export function whole(value) {
    return decimal(0).format(value);
}

const clock = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const second = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium",
                                              timeStyle: "short" });

export const time = (ms) => clock.format(ms);
export const exact = (ms) => second.format(ms);
export const date = (ms) => day.format(ms);

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const spans = new Map(UNITS.map(([unit]) => [unit, new Intl.NumberFormat(
    locale, { style: "unit", unit, unitDisplay: "short" })]));
const ago = new Intl.RelativeTimeFormat(locale, { style: "short",
                                                  numeric: "auto" });

function unitOf(ms) {
    const seconds = Math.max(0, Math.round(ms / 1000));
    const [unit, size] = UNITS.find(([, s]) => seconds >= s) ?? UNITS.at(-1);
    return [unit, Math.floor(seconds / size)];
}

/** "12 sec", "3 min" */
export function span(ms) {
    const [unit, count] = unitOf(ms);
    return spans.get(unit).format(count);
}

/** "3 min. ago" */
export function since(ms) {
    const [unit, count] = unitOf(ms);
    return ago.format(-count, unit);
}
