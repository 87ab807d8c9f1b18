/**
 * The one connection, and the store of what comes over it. It is made
 * before the cards are here: the snapshot is under way while they load.
 */

import { connect } from "../flux.js";
import { remembered, room } from "./cities.js";
import { Store } from "./store.js";

const cities = remembered().map(({ slug }) => room(slug));

export const store = new Store({ crypto: (data) => data.price });
export const live = connect("/live", { cursor: store.cursor, rooms: cities });

for (const name of ["crypto", "stocks", "news", "producers", ...cities]) {
    store.follow(live, name);
}
