#include "choices.h"

#include <QSettings>

#include "client/errors.h"

namespace {

// One list for reading and writing, so that both store the same choices.
template <class Visit>
void eachRemembered(Choices& c, Visit visit) {
    visit("server", c.server);
    visit("key", c.key);
    visit("server_key", c.serverKey);
    visit("minutes", c.minutes);
    visit("reuse", c.reuse);
    visit("channel", c.channel);
    visit("landmark", c.landmark);
    visit("show_mask", c.showMask);
    visit("overlay", c.overlay);
    visit("confidence", c.confidence);
    visit("doubts", c.doubts);
    visit("contrast", c.contrast);
    visit("enhancer", c.enhancer);
    visit("model", c.model);
    visit("threshold", c.threshold);
    visit("min_length", c.minLength);
    visit("gap", c.gap);
    visit("trees", c.trees);
    visit("keep_spines", c.keepSpines);
    visit("min_confidence", c.minConfidence);
    visit("passes", c.passes);
}

QSettings settings() { return QSettings("DINeuro", "Vaa3D plugin"); }

// Complete an address such as "lab" or "lab:5599".
QString addressOf(QString server) {
    server = server.trimmed();
    if (!server.contains("://")) server.prepend("tcp://");
    if (server.startsWith("tcp://") && server.indexOf(':', 6) < 0) server += ":5599";
    return server;
}

}  // namespace

dineuro::Client Choices::client() const {
    std::optional<dineuro::Keys> keys;
    if (key.isEmpty() != serverKey.isEmpty())
        throw dineuro::Error("bad_key", "key and server_key belong together: give both files");
    if (!key.isEmpty()) keys = dineuro::Keys::load(key.toStdString(), serverKey.toStdString());
    return dineuro::Client(addressOf(server).toStdString(), keys, "dineuro-vaa3d " DINEURO_VERSION);
}

dineuro::Json Choices::params() const {
    dineuro::Json params = {{"contrast", contrast.toStdString()},
                            {"enhancer", enhancer.toStdString()},
                            {"threshold", threshold},
                            {"min_length", minLength},
                            {"gap", gap},
                            {"trees", trees.toStdString()},
                            {"spines", keepSpines ? "keep" : "drop"},
                            {"min_confidence", minConfidence},
                            {"passes", passes},
                            {"units", micrometres ? "um" : "voxel"},
                            {"row_order", "vaa3d"}};  // of the image in Vaa3D's memory
    if (!model.isEmpty() && (enhancer == "auto" || enhancer == "dineuro"))
        params["model"] = model.toStdString();
    if (spacing[0] > 0) params["spacing"] = {spacing[0], spacing[1], spacing[2]};
    return params;
}

Choices remembered() {
    Choices choices;
    QSettings store = settings();
    eachRemembered(choices, [&](const char* name, auto& value) {
        value = store.value(name, value).template value<std::decay_t<decltype(value)>>();
    });
    // What was replaced in one image is not replaced unasked in the next one.
    if (choices.overlay != "no") choices.overlay = "add";
    return choices;
}

void remember(const Choices& choices) {
    QSettings store = settings();
    Choices copy = choices;
    eachRemembered(copy, [&](const char* name, auto& value) { store.setValue(name, value); });
}
