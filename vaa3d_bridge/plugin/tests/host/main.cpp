// host PLUGIN SCRIPT.json OUT: loads the plugin, does the script's steps, and writes OUT/seen.json,
// the windows' images as OUT/N.v3draw and their trees as OUT/N.swc.
//
// A step is {"open": FILE, "landmarks": [[x, y, z]], "cut": [x0, x1, y0, y1, z0, z1]},
// {"menu": TEXT, ...} with the driver's words, {"trace": [[x, y, z]]} for a manual tracing,
// {"load": FILE.swc} for a tree, {"delete": [x, y, z]} of the segment there, {"draw": [[x, y, z]]}
// of another one, {"retype": [x, y, z, type]}, all of them in the first image, or
// {"picture": FILE} of the first image with its tree, {"proofread": true, "press": [BUTTON]} at the
// list of places,
// {"func": NAME, "in": [], "out": [], "p": []}, which is also the program's command line. Of that,
// Vaa3D gives a plugin no input from the first missing file on, and then no outputs and parameters.
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include <QApplication>
#include <QCryptographicHash>
#include <QElapsedTimer>
#include <QFileInfo>
#include <QLabel>
#include <QListWidget>
#include <QPluginLoader>
#include <QPushButton>
#include <QTextStream>

#include "driver.h"
#include "picture.h"
#include "vaa3d.h"

using Json = nlohmann::json;

namespace {

std::string hashOf(Image4DSimple& image) {
    QCryptographicHash hash(QCryptographicHash::Sha256);
    const QByteArray view = QByteArray::fromRawData(reinterpret_cast<char*>(image.getRawData()),
                                                    static_cast<int>(image.getTotalBytes()));
    hash.addData(view);
    return hash.result().toHex().toStdString();
}

Json open(Vaa3D& vaa3d, const Json& step) {
    const QString file = QString::fromStdString(step["open"]);
    auto image = readImage(file);
    if (!image) return {{"error", "cannot be read"}};
    auto* window = static_cast<Window*>(vaa3d.newImageWindow(file));
    vaa3d.setImage(window, image.get());
    // An image that was changed keeps the name of its file.
    if (step.contains("named")) vaa3d.setImageName(window, QString::fromStdString(step["named"]));
    for (const Json& at : step.value("landmarks", Json::array())) {
        window->landmarks << LocationSimple(at[0], at[1], at[2]);
        if (at.size() > 3) window->landmarks.last().name = at[3].get<std::string>();
    }
    if (step.contains("cut")) {
        vaa3d.open3DWindow(window);
        window->view->cut = step["cut"];
        if (step.contains("shown")) window->view->shown = step["shown"];
    }
    vaa3d.activate(*window);
    return {{"hash", hashOf(window->image)}};
}

QElapsedTimer started() {
    QElapsedTimer timer;
    timer.start();
    return timer;
}

Json menu(Vaa3D& vaa3d, V3DPluginInterface2_1& plugin, const Json& step) {
    Driver driver(step);
    plugin.domenu(QString::fromStdString(step["menu"]), vaa3d, nullptr);
    for (QElapsedTimer wait = started(); wait.elapsed() < 250;) QApplication::processEvents();
    if (!vaa3d.windows.empty()) {
        driver.seen["hash"] = hashOf(vaa3d.windows.front()->image);
        driver.seen["front"] = vaa3d.front()->frame->windowTitle().toStdString();
    }
    return driver.seen;
}

// Presses the buttons of the list of places, one after the other.
Json proofread(Vaa3D& vaa3d, const Json& step) {
    Json seen = {{"focus", Json::array()}, {"cut", Json::array()}};
    for (QWidget* top : QApplication::topLevelWidgets()) {
        if (top->objectName() != "dineuro_doubts" || !top->isVisible()) continue;
        Window& window = *vaa3d.front();
        const auto note = [&] {
            seen["focus"].push_back(window.planes.focus);
            if (window.view) seen["cut"].push_back(window.view->cut);
        };
        note();
        for (const Json& name : step["press"]) {
            top->findChild<QPushButton*>(QString::fromStdString(name))->click();
            note();
        }
        const auto* list = top->findChild<QListWidget*>("places");
        for (int row = 0; row < list->count(); ++row)
            seen["places"].push_back(list->item(row)->text().toStdString());
        seen["state"] = top->findChild<QLabel*>("state")->text().toStdString();
        if (step.contains("pictures"))
            top->grab().save(QString::fromStdString(step["pictures"].get<std::string>() +
                                                    "/dineuro_doubts.png"));
        top->close();
        QCoreApplication::sendPostedEvents(top, QEvent::DeferredDelete);
        note();
        for (const auto& landmark : window.landmarks)
            seen["landmarks"].push_back({landmark.x, landmark.y, landmark.z, landmark.name});
    }
    return seen;
}

// A path by hand.
QList<NeuronSWC> drawn(const Json& places) {
    QList<NeuronSWC> nodes;
    for (const Json& at : places) {
        NeuronSWC node;
        node.n = nodes.size() + 1;
        node.pn = nodes.isEmpty() ? -1 : node.n - 1;
        node.type = 3;
        node.x = at[0], node.y = at[1], node.z = at[2], node.r = 1;
        nodes << node;
    }
    return nodes;
}

Json traced(Vaa3D& vaa3d, const Json& step) {
    NeuronTree tree;
    tree.listNeuron = drawn(step["trace"]);
    return {{"set", vaa3d.setSWC(vaa3d.front(), tree)}};
}

Json loaded(Vaa3D& vaa3d, const Json& step) {
    std::ifstream file(step["load"].get<std::string>());
    NeuronTree tree;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        NeuronSWC node;
        std::istringstream(line) >> node.n >> node.type >> node.x >> node.y >> node.z >> node.r >>
            node.pn;
        tree.listNeuron << node;
    }
    return {{"set", vaa3d.setSWC(vaa3d.windows.front().get(), tree)}};
}

// What a user does to segments in the 3D window.
Json edited(Vaa3D& vaa3d, const Json& step) {
    auto& segments = vaa3d.windows.front()->segments;
    if (step.contains("draw")) segments << drawn(step["draw"]);
    const Json at = step.value("delete", step.value("retype", Json()));
    if (at.is_null()) return {};
    qsizetype nearest = 0;
    double least = 1e9;
    for (qsizetype i = 0; i < segments.size(); ++i)
        for (const NeuronSWC& node : segments[static_cast<int>(i)])
            if (const double away = std::hypot(static_cast<double>(node.x) - at[0].get<double>(),
                                               static_cast<double>(node.y) - at[1].get<double>(),
                                               static_cast<double>(node.z) - at[2].get<double>());
                away < least)
                least = away, nearest = i;
    if (step.contains("delete"))
        segments.removeAt(static_cast<int>(nearest));
    else
        for (NeuronSWC& node : segments[static_cast<int>(nearest)]) node.type = at[3];
    return {{"away", least}};
}

struct Words {
    std::vector<std::string> texts;
    std::vector<char*> pointers;
    explicit Words(const Json& words) : texts(words.get<std::vector<std::string>>()) {
        for (auto& text : texts) pointers.push_back(text.data());
    }
};

// The words of the program: Vaa3D-x -x dineuro -f FUNC -i ... -o ... -p ...
// Qt looks at them anew whenever it is asked.
struct CommandLine {
    int count = 1;
    std::vector<std::string> texts{"Vaa3D-x"};
    std::array<char*, 1000> words{};

    CommandLine() { words[0] = texts[0].data(); }
    void set(const Json& step) {
        texts = {"Vaa3D-x", "-x", "dineuro", "-f", step["func"].get<std::string>()};
        for (const auto& [flag, name] : {std::pair{"-i", "in"}, {"-o", "out"}, {"-p", "p"}}) {
            if (!step.contains(name) || step[name].empty()) continue;
            texts.push_back(flag);
            for (const Json& word : step[name]) texts.push_back(word);
        }
        count = static_cast<int>(texts.size());
        for (std::size_t i = 0; i < texts.size(); ++i) words.at(i) = texts[i].data();
    }
} commandLine;

// The inputs up to the first that does not exist.
Json arriving(const Json& inputs) {
    Json arrived = Json::array();
    for (const Json& input : inputs) {
        if (!QFileInfo::exists(QString::fromStdString(input))) break;
        arrived.push_back(input);
    }
    return arrived;
}

Json func(Vaa3D& vaa3d, V3DPluginInterface2_1& plugin, const Json& step) {
    commandLine.set(step);
    const Json inputs = step.value("in", Json::array());
    const bool cut = arriving(inputs) != inputs;
    Words in(arriving(inputs)), p(cut ? Json::array() : step.value("p", Json::array()));
    Words out(cut ? Json::array() : step.value("out", Json::array()));
    V3DPluginArgList input, output;
    input << V3DPluginArgItem{"random", &in.pointers};
    // Vaa3D gives the parameters only where there are any.
    if (!p.texts.empty()) input << V3DPluginArgItem{"random", &p.pointers};
    output << V3DPluginArgItem{"random", &out.pointers};
    const bool ok =
        plugin.dofunc(QString::fromStdString(step["func"]), input, output, vaa3d, nullptr);
    return {{"returned", ok}};
}

Json doneOf(Vaa3D& vaa3d, V3DPluginInterface2_1& plugin, const Json& step) {
    if (step.contains("open")) return open(vaa3d, step);
    if (step.contains("picture"))
        return pictureOf(*vaa3d.windows.front(), 6).save(QString::fromStdString(step["picture"]));
    if (step.contains("trace")) return traced(vaa3d, step);
    if (step.contains("load")) return loaded(vaa3d, step);
    if (step.contains("delete") || step.contains("draw") || step.contains("retype"))
        return edited(vaa3d, step);
    if (step.contains("proofread")) return proofread(vaa3d, step);
    if (step.contains("menu")) return menu(vaa3d, plugin, step);
    return func(vaa3d, plugin, step);
}

void save(Vaa3D& vaa3d, const QString& folder, Json& seen) {
    for (std::size_t i = 0; i < vaa3d.windows.size(); ++i) {
        Window& window = *vaa3d.windows[i];
        const QString stem = folder + "/" + QString::number(i);
        writeRaw(window.image, stem + ".v3draw");
        QFile file(stem + ".swc");
        if (file.open(QIODevice::WriteOnly | QIODevice::Text)) {
            QTextStream text(&file);
            text.setRealNumberPrecision(9);
            for (const auto& node : window.tree.listNeuron)
                text << node.n << ' ' << node.type << ' ' << node.x << ' ' << node.y << ' '
                     << node.z << ' ' << node.r << ' ' << node.pn << '\n';
        }
        Json grades = Json::array();
        for (const auto& node : window.tree.listNeuron)
            if (!node.fea_val.isEmpty())
                grades.push_back({node.level, static_cast<double>(node.fea_val[0])});
        const bool hashed = window.tree.hashNeuron.size() == window.tree.listNeuron.size();
        const RGBA8 colour = window.tree.color;
        seen["windows"].push_back(
            {{"name", window.frame->windowTitle().toStdString()},
             {"updates", window.updates},
             {"spacing", {window.image.getRezX(), window.image.getRezY(), window.image.getRezZ()}},
             {"pushes", window.pushes},
             {"hashed", hashed},
             {"colour", {colour.r, colour.g, colour.b, colour.a}},
             {"file", window.tree.file.toStdString()},
             {"grades", grades},
             {"tree", window.tree.name.toStdString()}});
    }
}

}  // namespace

int main(int count, char** words) {
    if (count != 4) return std::fprintf(stderr, "host PLUGIN SCRIPT.json OUT\n"), 2;
    std::ifstream file(words[2]);
    const Json script = Json::parse(file);
    QApplication application(commandLine.count, commandLine.words.data());
    QPluginLoader loader(QString::fromLocal8Bit(words[1]));
    auto* plugin = qobject_cast<V3DPluginInterface2_1*>(loader.instance());
    if (!plugin) return std::fprintf(stderr, "%s\n", qPrintable(loader.errorString())), 1;
    Vaa3D vaa3d;
    Json seen = {{"steps", Json::array()}, {"windows", Json::array()}};
    for (const QString& name : plugin->menulist()) seen["menus"].push_back(name.toStdString());
    for (const QString& name : plugin->funclist()) seen["funcs"].push_back(name.toStdString());
    seen["version"] = plugin->getPluginVersion();
    for (const Json& step : script) seen["steps"].push_back(doneOf(vaa3d, *plugin, step));
    save(vaa3d, QString::fromLocal8Bit(words[3]), seen);
    std::ofstream(std::string(words[3]) + "/seen.json") << seen.dump(1);
    return 0;
}
