// host PLUGIN SCRIPT.json OUT: loads the plugin, does the script's steps, and writes OUT/seen.json,
// the windows' images as OUT/N.v3draw and their trees as OUT/N.swc.
//
// A step is {"open": FILE, "landmarks": [[x, y, z]], "cut": [x0, x1, y0, y1, z0, z1]},
// {"menu": TEXT, ...} with the driver's words, or {"func": NAME, "in": [], "out": [], "p": []}.
#include <cstdio>
#include <fstream>

#include <QApplication>
#include <QCryptographicHash>
#include <QPluginLoader>
#include <QTextStream>

#include "driver.h"
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
    auto image = readRaw(file);
    if (!image) return {{"error", "cannot be read"}};
    auto* window = static_cast<Window*>(vaa3d.newImageWindow(file));
    vaa3d.setImage(window, image.get());
    for (const Json& at : step.value("landmarks", Json::array()))
        window->landmarks << LocationSimple(at[0], at[1], at[2]);
    if (step.contains("cut")) {
        vaa3d.open3DWindow(window);
        window->view->cut = step["cut"];
        if (step.contains("shown")) window->view->shown = step["shown"];
    }
    vaa3d.current = window;
    return {{"hash", hashOf(window->image)}};
}

Json menu(Vaa3D& vaa3d, V3DPluginInterface2_1& plugin, const Json& step) {
    Driver driver(step);
    plugin.domenu(QString::fromStdString(step["menu"]), vaa3d, nullptr);
    if (vaa3d.current) driver.seen["hash"] = hashOf(vaa3d.current->image);
    return driver.seen;
}

struct Words {
    std::vector<std::string> texts;
    std::vector<char*> pointers;
    explicit Words(const Json& words) : texts(words.get<std::vector<std::string>>()) {
        for (auto& text : texts) pointers.push_back(text.data());
    }
};

Json func(Vaa3D& vaa3d, V3DPluginInterface2_1& plugin, const Json& step) {
    Words in(step.value("in", Json::array())), p(step.value("p", Json::array()));
    Words out(step.value("out", Json::array()));
    V3DPluginArgList input, output;
    input << V3DPluginArgItem{"random", &in.pointers};
    // Vaa3D gives the parameters only where there are any.
    if (!p.texts.empty()) input << V3DPluginArgItem{"random", &p.pointers};
    output << V3DPluginArgItem{"random", &out.pointers};
    const bool ok =
        plugin.dofunc(QString::fromStdString(step["func"]), input, output, vaa3d, nullptr);
    return {{"returned", ok}};
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
        const bool hashed = window.tree.hashNeuron.size() == window.tree.listNeuron.size();
        seen["windows"].push_back({{"name", window.name.toStdString()},
                                   {"updates", window.updates},
                                   {"pushes", window.pushes},
                                   {"hashed", hashed},
                                   {"tree", window.tree.name.toStdString()}});
    }
}

}  // namespace

int main(int count, char** words) {
    QApplication application(count, words);
    if (count != 4) return std::fprintf(stderr, "host PLUGIN SCRIPT.json OUT\n"), 2;
    QPluginLoader loader(QString::fromLocal8Bit(words[1]));
    auto* plugin = qobject_cast<V3DPluginInterface2_1*>(loader.instance());
    if (!plugin) return std::fprintf(stderr, "%s\n", qPrintable(loader.errorString())), 1;
    std::ifstream file(words[2]);
    const Json script = Json::parse(file);
    Vaa3D vaa3d;
    Json seen = {{"steps", Json::array()}, {"windows", Json::array()}};
    for (const QString& name : plugin->menulist()) seen["menus"].push_back(name.toStdString());
    for (const QString& name : plugin->funclist()) seen["funcs"].push_back(name.toStdString());
    seen["version"] = plugin->getPluginVersion();
    for (const Json& step : script)
        seen["steps"].push_back(step.contains("open")   ? open(vaa3d, step)
                                : step.contains("menu") ? menu(vaa3d, *plugin, step)
                                                        : func(vaa3d, *plugin, step));
    save(vaa3d, QString::fromLocal8Bit(words[3]), seen);
    std::ofstream(std::string(words[3]) + "/seen.json") << seen.dump(1);
    return 0;
}
