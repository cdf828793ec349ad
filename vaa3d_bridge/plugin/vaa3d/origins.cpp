#include "origins.h"

#include <QDateTime>
#include <QSettings>
#include <QStringList>

#include "client/protocol.h"

namespace {

constexpr int kMostKept = 1000;

QSettings keptOrigins() { return QSettings("DINeuro", "Vaa3D plugin trees"); }

QString textOf(const Origin& origin) {
    const dineuro::Json json = {{"image", origin.image.toStdString()},
                                {"swc", origin.swc.toStdString()},
                                {"server", origin.server.toStdString()},
                                {"job", origin.job.toStdString()},
                                {"time", origin.time.toStdString()},
                                {"step", origin.step},
                                {"channel", origin.channel},
                                {"revision", origin.revision}};
    return QString::fromStdString(
        json.dump(-1, ' ', true, dineuro::Json::error_handler_t::replace));
}

Origin originOf(const QString& text) {
    Origin origin;
    try {
        const auto json = dineuro::Json::parse(text.toStdString());
        const auto word = [&](const char* name) {
            return QString::fromStdString(json.at(name).get<std::string>());
        };
        origin = {word("image"), word("swc"),     word("server"),     word("job"),
                  word("time"),  json.at("step"), json.at("channel"), json.at("revision")};
    } catch (const dineuro::Json::exception&) {
        return {};  // of another version
    }
    origin.step = std::max(origin.step, 1);
    return origin;
}

}  // namespace

QString now() { return QDateTime::currentDateTime().toString("yyyy-MM-dd hh:mm"); }

void keepOrigin(const Origin& origin) {
    QSettings store = keptOrigins();
    QStringList texts = store.value("trees").toStringList();
    for (int i = static_cast<int>(texts.size()) - 1; i >= 0; --i) {
        const Origin other = originOf(texts[i]);
        if (other.job == origin.job && other.image == origin.image) texts.removeAt(i);
    }
    texts.prepend(textOf(origin));
    while (texts.size() > kMostKept) texts.removeLast();
    store.setValue("trees", texts);
}

QList<Origin> originsOf(const QString& image) {
    QList<Origin> found;
    for (const QString& text : keptOrigins().value("trees").toStringList())
        if (const Origin origin = originOf(text); origin.image == image && !origin.job.isEmpty())
            found << origin;
    return found;
}
