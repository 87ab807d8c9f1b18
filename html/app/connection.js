/** The connection's state in the bar, told aloud when it changes. */

import { announce } from "./dom.js";
import { show } from "./freshness.js";

const WORDS = {
    connecting: ["waiting", "Connecting…"],
    live: ["live", "Connected"],
    reconnecting: ["delayed", "Reconnecting…"],
    offline: ["down", "Offline, trying again"],
    closed: ["down", "Closed"],
};

export function mountConnection(live) {
    const badge = document.getElementById("connection");
    let told = "connecting";

    function update() {
        const [state, words] = WORDS[live.state];
        show(badge, { state, words });
        document.documentElement.dataset.connection = live.state;
        if (live.state !== told && told !== "connecting") {
            announce(words);
        }
        told = live.state;
    }

    live.on("state", update);
    update();
}
