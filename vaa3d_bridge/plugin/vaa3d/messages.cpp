#include "messages.h"

#include <cstdio>

#include <QMap>
#include <QStringList>

#include <v3d_message.h>

#include "client/client.h"
#include "client/errors.h"

namespace {

QString advice(const QString& code) {
    static const QMap<QString, QString> known = {
        {"server_gone",
         "Is the server running (dineuro serve)? Are address and port right, and does a firewall let them through? "
         "From another computer it needs CURVE keys: Plug-in > DINeuro > Server settings."},
        {"unauthorized", "Ask who runs the server for keys: dineuro keys curve YOUR-NAME."},
        {"bad_key",
         "Choose the two files that `dineuro keys curve YOUR-NAME` made: YOUR-NAME.key_secret and server.key."},
        {"bad_request", "Plugin and server are of versions that do not fit: update the older one."},
        {"bad_parameter", "Change the setting and try again."},
        {"bad_volume", "Is the channel the one with the neuron, and is it not empty?"},
        {"too_large", "Crop the image, or ask who runs the server to raise --max-gib."},
        {"queue_full", "The server has much to do: try again later."},
        {"quota",
         "Wait until your earlier jobs are done, or ask who runs the server for a larger quota."},
        {"disk_full", "The server's disk is full: tell who runs it."},
        {"time_limit", "Allow more time (Server settings), or trace a smaller region."},
        {"memory_limit", "Trace a smaller region, or ask who runs the server for more memory."},
        {"worker_lost",
         "Try once more; if it happens again, tell who runs the server, whose log says more."},
        {"internal", "Tell who runs the server: its log says more under the id in brackets."},
        {"stopping", "The server is being stopped: try again later."},
    };
    return known.value(code);
}

}  // namespace

QString sentence(const dineuro::Error& error) {
    const QString what = QString::fromUtf8(error.what());
    const QString todo = advice(QString::fromStdString(error.code()));
    return todo.isEmpty() ? what + "." : what + ".\n\n" + todo;
}

QString described(const dineuro::ServerInfo& info) {
    QStringList models, devices;
    for (const auto& model : info.models) models << QString::fromStdString(model);
    for (const auto& device : info.devices) devices << QString::fromStdString(device);
    return QString("DINeuro %1; networks: %2; works on: %3; waiting jobs: %4; takes up to %5 GiB")
        .arg(QString::fromStdString(info.version), models.isEmpty() ? "none" : models.join(", "),
             devices.isEmpty() ? "not told" : devices.join(", "))
        .arg(info.waiting)
        .arg(static_cast<double>(info.maxBytes) / 1073741824.0, 0, 'g', 3);
}

QString stageName(const QString& stage) {
    static const QMap<QString, QString> known = {
        {"upload", "Sending the image"},
        {"wait", "The server is busy: waiting"},
        {"queued", "Waiting for its turn"},
        {"read", "Reading the image"},
        {"load", "Loading the network"},
        {"enhance", "Enhancing"},
        {"trace", "Tracing"},
        {"write", "Writing the results"},
        {"download", "Receiving the results"},
    };
    return known.value(stage, stage);
}

void say(const QString& text) { std::fprintf(stderr, "%s\n", text.toUtf8().constData()); }

QString aboutText() {
    return QString(
               "<h3>DINeuro %1</h3>"
               "<p>Sends the image to a DINeuro server, which enhances it with a network, traces the neuron and tells how far to trust "
               "the tree.</p>"
               "<p><b>Enhance &amp; trace</b> needs a running server: <code>dineuro serve</code> on this computer, or your lab's. The first "
               "landmark, where there is one, is taken as the soma. The enhanced volume opens in a new window; the tree is drawn in the "
               "image's 3D window. The image itself is never changed.</p>"
               "<p><b>Trace without enhancing</b> takes the image's own intensity.</p>"
               "<p>On the command line: <code>vaa3d -x dineuro -f help</code></p>"
               "<p>Apache License 2.0</p>")
        .arg(DINEURO_VERSION);
}

// Vaa3D's headers declare these two, and their inline functions call them. Defined here, so that
// the plugin needs nothing of Vaa3D's own code.
void v3d_msg(const char* msg, bool) { say(QString::fromUtf8(msg)); }
void v3d_msg(const QString& msg, bool) { say(msg); }
