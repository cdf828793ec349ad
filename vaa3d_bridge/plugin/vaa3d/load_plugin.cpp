// load_plugin LIBRARY: loads a plugin as Vaa3D does, with all of its symbols; prints its class or
// the reason. It needs no header of Vaa3D.
#include <cstdio>

#include <QCoreApplication>
#include <QFileInfo>
#include <QPluginLoader>

int main(int count, char** words) {
    QCoreApplication application(count, words);
    if (count != 2) return std::fprintf(stderr, "load_plugin LIBRARY\n"), 2;
    // Qt looks for a relative name beside the program.
    QPluginLoader loader(QFileInfo(QString::fromLocal8Bit(words[1])).absoluteFilePath());
    loader.setLoadHints(QLibrary::ResolveAllSymbolsHint);
    QObject* plugin = loader.instance();
    if (!plugin) return std::fprintf(stderr, "%s\n", qPrintable(loader.errorString())), 1;
    if (!plugin->qt_metacast("com.janelia.v3d.V3DPluginInterface/2.1"))
        return std::fprintf(stderr, "this is no plugin for Vaa3D\n"), 1;
    std::printf("%s\n", plugin->metaObject()->className());
    return 0;
}
