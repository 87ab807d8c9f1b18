/** The weather card: the reader's cities, each a room of its own. */

import { attribute, element, text } from "./dom.js";
import { price, whole } from "./format.js";
import { browser } from "./memory.js";
import { remembered, room, slugOf } from "./cities.js";
import { mountSearch } from "./search.js";
import { sky } from "./sky.js";

const MOST = 12;
const HOURS = 12;               // a narrow card has room for six
const FAHRENHEIT = new Set(["US", "BS", "BZ", "KY", "LR", "PW", "FM", "MH"]);

/** @param {import("./main.js").Page} page */
export function mountWeather({ live, store, frames, fresh, stale }) {
    const card = document.querySelector(".weather");
    const list = card.querySelector(".cities");
    const units = card.querySelector(".units");
    const shown = new Map();
    let cities = remembered();
    let unit = browser.get("unit", FAHRENHEIT.has(
        new Intl.Locale(navigator.language).region) ? "f" : "c");

    const degrees = (data, name) => data[`${name}_${unit}`] === null
        || data[`${name}_${unit}`] === undefined ? "–"
        : `${whole(data[`${name}_${unit}`])}°`;

    function make({ slug, name }) {
        const remove = element("button.remove", {
            type: "button", "aria-label": `Remove ${name}` }, "✕");
        const badge = element("p.fresh", { "data-state": "waiting" },
            element("span.mark", { "aria-hidden": "true" }),
            element("span.what", {}, "Waiting for data"));
        const title = element("h3", {}, name);
        const now = element("div.now"), more = element("p.more-weather");
        const hours = element("ol.hours", {
            "aria-label": `Next hours in ${name}` });
        const node = element("li.city", { "data-city": slug },
            element("header", {}, title, remove), badge, now, more, hours);

        remove.addEventListener("click", () => drop(slug));
        return { node, title, now, more, hours, last: null };
    }

    function draw(slug) {
        const parts = shown.get(slug);
        const item = store.feed(room(slug)).items.get(slug);
        const last = item && `${item.ts} ${unit}`;

        if (!parts || !item || last === parts.last) {
            return;
        }
        const { data } = item;
        const place = data.country ? `${data.city}, ${data.country}`
            : data.city;
        text(parts.title, place ?? slug);
        parts.now.replaceChildren(
            sky(data.code, data.is_day, "large"),
            element("span.temperature", {}, degrees(data, "temperature")),
            element("span.condition", {}, data.condition ?? "",
                element("span.code", {}, ` ${degrees(data, "high")} / `
                    + degrees(data, "low"))));
        parts.more.replaceChildren(...[
            `Feels ${degrees(data, "feels_like")}`,
            `wind ${price(data.wind_kmh)} km/h`,
            data.humidity == null ? "" : `humidity ${whole(data.humidity)}%`,
            data.aqi ? `air quality ${whole(data.aqi)}` : "",
        ].filter(Boolean).map((words) => element("span", {}, words)));
        parts.hours.replaceChildren(...(data.hours ?? []).slice(0, HOURS)
            .map((hour) => element("li", {},
                element("span.code", {}, hourOf(hour.time)),
                sky(hour.code, isDay(hour.time, data)),
                element("span", {}, degrees(hour, "temperature")))));
        parts.last = last;
    }

    function add(city) {
        if (!cities.some(({ slug }) => slug === city.slug)) {
            cities = [city, ...cities].slice(0, MOST);
            keep();
        }
        show();
        shown.get(city.slug)?.node.scrollIntoView({ block: "nearest" });
    }

    function drop(slug) {
        cities = cities.filter((city) => city.slug !== slug);
        keep();
        show();
        card.querySelector("input").focus();
    }

    function keep() {
        browser.set("cities", cities);
    }

    function show() {
        const wanted = new Set(cities.map(({ slug }) => slug));

        for (const [slug, { node }] of shown) {
            if (!wanted.has(slug)) {
                node.remove();
                shown.delete(slug);
                stale(room(slug));
                live.unsubscribe(room(slug));
                store.forget(room(slug));
            }
        }
        for (const city of cities) {
            if (!shown.has(city.slug)) {
                begin(city);
            }
        }
        cities.forEach(({ slug }, i) => {
            const { node } = shown.get(slug);
            if (list.children[i] !== node) {
                list.insertBefore(node, list.children[i]);
            }
        });
    }

    function begin(city) {
        const { slug } = city, name = room(slug);
        const parts = make(city);

        shown.set(slug, parts);
        live.subscribe(name);
        fresh(parts.node.querySelector(".fresh"), {
            feed: store.feed(name), room: name, patience: 2700000,
            producer: "flux-weather" });
        store.watch(live, name, () => {
            if (parts.last) {
                frames.draw(name, () => draw(slug));
            } else {
                draw(slug);     // asked for: in a pause too
            }
        });
        draw(slug);
    }

    function showUnit() {
        text(units, unit === "c" ? "°C" : "°F");
        attribute(units, "aria-label", unit === "c"
            ? "Degrees Celsius; change to Fahrenheit"
            : "Degrees Fahrenheit; change to Celsius");
    }

    units.addEventListener("click", () => {
        unit = unit === "c" ? "f" : "c";
        browser.set("unit", unit);
        showUnit();
        cities.forEach(({ slug }) => draw(slug));
    });
    // another tab of this browser added a city
    addEventListener("storage", ({ key }) => {
        if (key === "flux.cities") {
            cities = browser.get("cities", cities);
            show();
        }
    });
    showUnit();
    show();
    mountSearch(card, (name, slug = slugOf(name)) => add({ slug, name }));
}

const clock = new Intl.DateTimeFormat(navigator.languages, {
    hour: "numeric", timeZone: "UTC" });

/* The city's own time comes without a zone: it is told as it is. */
function hourOf(time) {
    return clock.format(Date.parse(`${time}Z`));
}

/* In June the sun of Reykjavik sets after midnight. */
function isDay(time, { sunrise, sunset }) {
    const [hour, rise, set] = [time, sunrise ?? "06:00", sunset ?? "18:00"]
        .map((moment) => moment.slice(-5));
    return rise < set ? hour >= rise && hour < set
        : hour >= rise || hour < set;
}
