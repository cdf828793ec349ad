// The command line's words.
#include <doctest/doctest.h>

#include "../vaa3d/words.h"
#include "client/errors.h"

TEST_CASE("words as a user says them") {
    const Words words =
        parseWords({"server=tcp://lab:5599", "channel=2", "root=1,2.5,3", "roi=0,0,0,10,20,30",
                    "spacing=0.2,0.2,1", "units=um", "contrast=dark", "enhancer=classical",
                    "threshold=90", "min_length=4.5", "gap=0", "trees=all", "spines=keep",
                    "min_confidence=0.25", "passes=1", "mask=yes", "minutes=2", "reuse=no"});
    CHECK(words.choices.server == "tcp://lab:5599");
    CHECK(words.choices.channel == 2);
    CHECK(*words.root == dineuro::Json{1.0, 2.5, 3.0});
    CHECK(*words.roi == dineuro::Json{0, 0, 0, 10, 20, 30});
    CHECK(words.choices.minutes == 2);
    CHECK_FALSE(words.choices.reuse);
    CHECK(words.mask);
    CHECK(words.choices.params() == dineuro::Json{{"contrast", "dark"},
                                                  {"enhancer", "classical"},
                                                  {"threshold", 90},
                                                  {"min_length", 4.5},
                                                  {"gap", 0.0},
                                                  {"trees", "all"},
                                                  {"spines", "keep"},
                                                  {"min_confidence", 0.25},
                                                  {"passes", 1},
                                                  {"units", "um"},
                                                  {"row_order", "vaa3d"},
                                                  {"spacing", {0.2, 0.2, 1.0}}});
    CHECK(parseWords({}).choices.server == "tcp://127.0.0.1:5599");
}

TEST_CASE("junk is refused by name") {
    for (const std::string word :
         {"junk",      "[channel=1]",       "chanel=1",      "=1",         "",
          "channel=",  "channel=two",       "channel=1.5",   "root=1,2",   "root=1,2,x",
          "roi=1,2,3", "roi=0,0,0,1.5,2,2", "spacing=0,1,1", "trees=some", "mask=maybe",
          "gap=nan",   "gap=1e999",         "enhancer=app2", "units=mm",   "channel=<1>"}) {
        CAPTURE(word);
        std::string why;
        try {
            parseWords({word});
        } catch (const dineuro::Error& error) {
            CHECK(error.code() == "bad_parameter");
            why = error.what();
        }
        CHECK(why.find(word) != std::string::npos);
    }
    CHECK_THROWS_WITH_AS(parseWords({"channel=1", "channel=2"}), "channel: is repeated",
                         dineuro::Error);
    CHECK_THROWS_AS(parseWords({"root=1,1,1", "marker=a.marker"}), dineuro::Error);
}

TEST_CASE("every word is in the help") {
    for (const char* key : {"server=", "server_key=", "roi=", "reuse=", "doubts="})
        CHECK(wordsHelp().contains(key));
}

TEST_CASE("a server as a person types it") {
    Choices choices;
    choices.key = "/nowhere";
    CHECK_THROWS_AS(choices.client(), dineuro::Error);
    choices.serverKey = "/nowhere";
    CHECK_THROWS_WITH_AS(choices.client(), "/nowhere: cannot be read", dineuro::Error);
}
