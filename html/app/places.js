/** Well-known cities for suggestions and for the nearest one to a place. */

/* country: city latitude longitude, ... (tenths of a degree will do) */
const LIST = `
Afghanistan: Kabul 34.5 69.2
Algeria: Algiers 36.8 3.1, Oran 35.7 -0.6
Argentina: Buenos Aires -34.6 -58.4, Córdoba -31.4 -64.2, Rosario -32.9 -60.6
Australia: Sydney -33.9 151.2, Melbourne -37.8 145, Brisbane -27.5 153, Perth -31.9 115.9, Adelaide -34.9 138.6, Canberra -35.3 149.1, Hobart -42.9 147.3, Darwin -12.5 130.8
Austria: Vienna 48.2 16.4, Graz 47.1 15.4, Salzburg 47.8 13, Innsbruck 47.3 11.4, Linz 48.3 14.3
Bangladesh: Dhaka 23.8 90.4, Chittagong 22.4 91.8
Belgium: Brussels 50.8 4.4, Antwerp 51.2 4.4, Ghent 51.1 3.7
Bolivia: La Paz -16.5 -68.1
Brazil: São Paulo -23.6 -46.6, Rio de Janeiro -22.9 -43.2, Brasília -15.8 -47.9, Salvador -13 -38.5, Recife -8.1 -34.9, Porto Alegre -30 -51.2, Curitiba -25.4 -49.3, Manaus -3.1 -60
Bulgaria: Sofia 42.7 23.3
Canada: Toronto 43.7 -79.4, Montreal 45.5 -73.6, Vancouver 49.3 -123.1, Calgary 51 -114.1, Ottawa 45.4 -75.7, Edmonton 53.5 -113.5, Winnipeg 49.9 -97.1, Halifax 44.6 -63.6, Quebec 46.8 -71.2
Chile: Santiago -33.5 -70.7, Valparaíso -33 -71.6
China: Beijing 39.9 116.4, Shanghai 31.2 121.5, Guangzhou 23.1 113.3, Shenzhen 22.5 114.1, Chengdu 30.7 104.1, Wuhan 30.6 114.3, Hangzhou 30.3 120.2, Nanjing 32.1 118.8
Colombia: Bogotá 4.7 -74.1, Medellín 6.2 -75.6, Cali 3.4 -76.5
Croatia: Zagreb 45.8 16, Split 43.5 16.4
Cuba: Havana 23.1 -82.4
Czechia: Prague 50.1 14.4, Brno 49.2 16.6
Denmark: Copenhagen 55.7 12.6, Aarhus 56.2 10.2
Ecuador: Quito -0.2 -78.5, Guayaquil -2.2 -79.9
Egypt: Cairo 30 31.2, Alexandria 31.2 29.9
Estonia: Tallinn 59.4 24.8
Ethiopia: Addis Ababa 9 38.7
Finland: Helsinki 60.2 24.9, Tampere 61.5 23.8, Turku 60.5 22.3
France: Paris 48.9 2.4, Lyon 45.8 4.8, Marseille 43.3 5.4, Toulouse 43.6 1.4, Nice 43.7 7.3, Nantes 47.2 -1.6, Strasbourg 48.6 7.8, Bordeaux 44.8 -0.6, Lille 50.6 3.1
Georgia: Tbilisi 41.7 44.8
Germany: Berlin 52.5 13.4, Hamburg 53.6 10, Munich 48.1 11.6, Cologne 50.9 7, Frankfurt 50.1 8.7, Stuttgart 48.8 9.2, Düsseldorf 51.2 6.8, Leipzig 51.3 12.4, Dresden 51.1 13.7, Hanover 52.4 9.7, Nuremberg 49.5 11.1, Bremen 53.1 8.8
Ghana: Accra 5.6 -0.2
Greece: Athens 38 23.7, Thessaloniki 40.6 22.9
Hong Kong: Hong Kong 22.3 114.2
Hungary: Budapest 47.5 19
Iceland: Reykjavik 64.1 -21.9
India: Mumbai 19.1 72.9, Delhi 28.7 77.1, Bengaluru 13 77.6, Hyderabad 17.4 78.5, Chennai 13.1 80.3, Kolkata 22.6 88.4, Pune 18.5 73.9, Ahmedabad 23 72.6, Jaipur 26.9 75.8
Indonesia: Jakarta -6.2 106.8, Surabaya -7.3 112.7, Bandung -6.9 107.6, Denpasar -8.7 115.2
Iran: Tehran 35.7 51.4
Iraq: Baghdad 33.3 44.4
Ireland: Dublin 53.3 -6.3, Cork 51.9 -8.5, Galway 53.3 -9.1
Israel: Jerusalem 31.8 35.2, Tel Aviv 32.1 34.8
Italy: Rome 41.9 12.5, Milan 45.5 9.2, Naples 40.9 14.3, Turin 45.1 7.7, Florence 43.8 11.3, Bologna 44.5 11.3, Venice 45.4 12.3, Palermo 38.1 13.4
Jamaica: Kingston 18 -76.8
Japan: Tokyo 35.7 139.7, Osaka 34.7 135.5, Kyoto 35 135.8, Nagoya 35.2 136.9, Sapporo 43.1 141.4, Fukuoka 33.6 130.4
Jordan: Amman 31.9 35.9
Kazakhstan: Almaty 43.2 76.9, Astana 51.2 71.4
Kenya: Nairobi -1.3 36.8, Mombasa -4 39.7
Latvia: Riga 56.9 24.1
Lebanon: Beirut 33.9 35.5
Lithuania: Vilnius 54.7 25.3
Luxembourg: Luxembourg 49.6 6.1
Malaysia: Kuala Lumpur 3.1 101.7
Mexico: Mexico City 19.4 -99.1, Guadalajara 20.7 -103.3, Monterrey 25.7 -100.3, Cancún 21.2 -86.9
Morocco: Casablanca 33.6 -7.6, Marrakesh 31.6 -8, Rabat 34 -6.8
Nepal: Kathmandu 27.7 85.3
Netherlands: Amsterdam 52.4 4.9, Rotterdam 51.9 4.5, The Hague 52.1 4.3, Utrecht 52.1 5.1
New Zealand: Auckland -36.8 174.8, Wellington -41.3 174.8, Christchurch -43.5 172.6
Nigeria: Lagos 6.5 3.4, Abuja 9.1 7.5
Norway: Oslo 59.9 10.8, Bergen 60.4 5.3, Trondheim 63.4 10.4, Tromsø 69.6 19
Pakistan: Karachi 24.9 67, Lahore 31.5 74.3, Islamabad 33.7 73
Peru: Lima -12 -77, Cusco -13.5 -72
Philippines: Manila 14.6 121, Cebu 10.3 123.9
Poland: Warsaw 52.2 21, Kraków 50.1 19.9, Gdańsk 54.4 18.6, Wrocław 51.1 17, Poznań 52.4 16.9
Portugal: Lisbon 38.7 -9.1, Porto 41.1 -8.6, Faro 37 -7.9
Qatar: Doha 25.3 51.5
Romania: Bucharest 44.4 26.1, Cluj-Napoca 46.8 23.6
Saudi Arabia: Riyadh 24.7 46.7, Jeddah 21.5 39.2
Senegal: Dakar 14.7 -17.5
Serbia: Belgrade 44.8 20.5
Singapore: Singapore 1.4 103.8
Slovakia: Bratislava 48.1 17.1
Slovenia: Ljubljana 46.1 14.5
South Africa: Johannesburg -26.2 28, Cape Town -33.9 18.4, Durban -29.9 31
South Korea: Seoul 37.6 127, Busan 35.2 129.1
Spain: Madrid 40.4 -3.7, Barcelona 41.4 2.2, Valencia 39.5 -0.4, Seville 37.4 -6, Bilbao 43.3 -2.9, Málaga 36.7 -4.4, Las Palmas 28.1 -15.4
Sri Lanka: Colombo 6.9 79.9
Sweden: Stockholm 59.3 18.1, Gothenburg 57.7 12, Malmö 55.6 13, Kiruna 67.9 20.2
Switzerland: Zurich 47.4 8.5, Geneva 46.2 6.1, Basel 47.6 7.6, Bern 46.9 7.4
Taiwan: Taipei 25 121.6
Tanzania: Dar es Salaam -6.8 39.3
Thailand: Bangkok 13.8 100.5, Chiang Mai 18.8 99
Tunisia: Tunis 36.8 10.2
Turkey: Istanbul 41 29, Ankara 39.9 32.9, Izmir 38.4 27.1, Antalya 36.9 30.7
Uganda: Kampala 0.3 32.6
Ukraine: Kyiv 50.5 30.5, Lviv 49.8 24, Odesa 46.5 30.7, Kharkiv 50 36.2
United Arab Emirates: Dubai 25.2 55.3, Abu Dhabi 24.5 54.4
United Kingdom: London 51.5 -0.1, Manchester 53.5 -2.2, Birmingham 52.5 -1.9, Edinburgh 55.9 -3.2, Glasgow 55.9 -4.3, Bristol 51.5 -2.6, Leeds 53.8 -1.5, Liverpool 53.4 -3, Belfast 54.6 -5.9, Cardiff 51.5 -3.2
United States: New York 40.7 -74, Los Angeles 34.1 -118.2, Chicago 41.9 -87.6, Houston 29.8 -95.4, Phoenix 33.4 -112.1, Philadelphia 40 -75.2, San Antonio 29.4 -98.5, San Diego 32.7 -117.2, Dallas 32.8 -96.8, Austin 30.3 -97.7, San Francisco 37.8 -122.4, Seattle 47.6 -122.3, Denver 39.7 -105, Boston 42.4 -71.1, Washington 38.9 -77, Miami 25.8 -80.2, Atlanta 33.7 -84.4, Minneapolis 45 -93.3, Detroit 42.3 -83, Portland 45.5 -122.7, Las Vegas 36.2 -115.1, New Orleans 30 -90.1, Salt Lake City 40.8 -111.9, Nashville 36.2 -86.8, St. Louis 38.6 -90.2, Anchorage 61.2 -149.9, Honolulu 21.3 -157.9
Uruguay: Montevideo -34.9 -56.2
Uzbekistan: Tashkent 41.3 69.3
Venezuela: Caracas 10.5 -66.9
Vietnam: Hanoi 21 105.9, Ho Chi Minh City 10.8 106.6, Da Nang 16.1 108.2`;

let all;

/** @returns {{ name: string, country: string, latitude: number,
 *     longitude: number }[]} */
export function places() {
    return all ??= LIST.trim().split("\n").flatMap((line) => {
        const [country, cities] = line.split(": ");
        return cities.split(", ").map((city) => {
            const [, name, latitude, longitude] =
                /^(.*) (\S+) (\S+)$/.exec(city);
            return { name, country, latitude: Number(latitude),
                     longitude: Number(longitude) };
        });
    });
}

export function nearest(latitude, longitude) {
    const radians = Math.PI / 180;
    const distance = (place) => Math.hypot(place.latitude - latitude,
        (((place.longitude - longitude + 540) % 360) - 180)
        * Math.cos(latitude * radians));

    return places().reduce((best, place) =>
        distance(place) < distance(best) ? place : best);
}
