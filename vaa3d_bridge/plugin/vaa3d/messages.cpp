#include "messages.h"

#include <cstdio>

#include <QMap>
#include <QStringList>

#include <v3d_message.h>

#include "client/client.h"
#include "arguments.h"
#include "client/errors.h"

namespace {

QString advice(const QString& code) {
    static const QMap<QString, QString> known = {
        {"server_gone",
         "Check that the server runs (dineuro serve), that address and port are right, and that no firewall blocks them. "
         "A server on another computer requires CURVE keys: Plug-In > DINeuro > Server settings."},
        {"unauthorized", "Ask the server's administrator for keys: dineuro keys curve YOUR-NAME."},
        {"bad_key",
         "Choose the two files of `dineuro keys curve YOUR-NAME`: YOUR-NAME.key_secret and server.key."},
        {"bad_request", "The versions of plugin and server do not match: update the older one."},
        {"bad_parameter", "Change the parameter and try again."},
        {"bad_volume", "Check that the channel contains the neuron and is not empty."},
        {"too_large", "Crop the image, or ask the server's administrator to raise --max-gib."},
        {"queue_full", "The server has many waiting jobs: try again later."},
        {"quota",
         "Wait until your earlier jobs end, or ask the server's administrator for a larger quota."},
        {"disk_full", "The server's disk is full: inform its administrator."},
        {"time_limit", "Raise the time limit (Server settings), or trace a smaller region."},
        {"memory_limit",
         "Trace a smaller region, or ask the server's administrator for more memory."},
        {"worker_lost",
         "Try again. If the error returns, inform the server's administrator, whose log has the details."},
        {"internal",
         "Inform the server's administrator: the log has the details under the id in brackets."},
        {"stopping", "The server is stopping: try again later."},
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
    return QString("DINeuro %1; networks: %2; works on: %3; waiting jobs: %4; accepts up to %5 GiB")
               .arg(QString::fromStdString(info.version),
                    models.isEmpty() ? "none" : models.join(", "),
                    devices.isEmpty() ? "unknown" : devices.join(", "))
               .arg(info.waiting)
               .arg(static_cast<double>(info.maxBytes) / 1073741824.0, 0, 'g', 3) +
           (info.byPath ? "; reads files by their path" : "");
}

QString stageName(const QString& stage) {
    static const QMap<QString, QString> known = {
        {"connect", "Connecting to the server"},
        {"upload", "Sending the image"},
        {"wait", "The server is full: waiting"},
        {"queued", "Waiting in the queue"},
        {"check", "Checking the file"},
        {"read", "Reading the image"},
        {"load", "Loading the network"},
        {"enhance", "Enhancing"},
        {"trace", "Tracing"},
        {"write", "Writing the results"},
        {"download", "Receiving the results"},
        {"edits", "Asking for the server's tree"},
        {"send", "Sending the corrections"},
    };
    return known.value(stage, stage);
}

void say(const QString& text) { std::fprintf(stderr, "%s\n", text.toUtf8().constData()); }

QString aboutText() {
    return QString(
               "<h3>DINeuro %1</h3>"
               "<p>The plugin sends the image to a DINeuro server. The server enhances it with a network, traces the neuron, and "
               "reports how far the tree can be trusted.</p>"
               "<p><b>Enhance &amp; trace</b> needs a running server: <code>dineuro serve</code> on this computer, or your lab's. The first "
               "landmark, if there is one, is the soma. The enhanced volume opens in a new window; the tree is drawn in the "
               "image's 3D window. The image itself never changes.</p>"
               "<p><b>Trace without enhancing</b> uses the intensity of the image itself.</p>"
               "<p>On the command line: <code>%2 -x dineuro -f help</code></p>"
               "<p>Apache License 2.0</p>")
        .arg(DINEURO_VERSION, programName());
}

// Vaa3D's headers declare these two functions, and their inline functions call them. They are
// defined here, so that the plugin needs no code of Vaa3D.
void v3d_msg(const char* msg, bool) { say(QString::fromUtf8(msg)); }
void v3d_msg(const QString& msg, bool) { say(msg); }
