#include "vtable.h"

#include <cstring>

namespace {

// getVaa3DMainWindow with an argument that it ignores. In another table a function of windows may
// be at its place, and all of those answer null to a null window.
const void* mainWindow(V3DPluginCallback2& callback) {
    auto (V3DPluginCallback2::*declared)() = &V3DPluginCallback2::getVaa3DMainWindow;
    MainWindow* (V3DPluginCallback2::*called)(v3dhandle);
    static_assert(sizeof declared == sizeof called, "pointers to members have one size");
    std::memcpy(&called, &declared, sizeof called);
    return (callback.*called)(nullptr);
}

}  // namespace

QString refusalOf(V3DPluginCallback2& callback) {
    // A window that does not exist has no tri-view, and the program has a main window. A table that
    // is one function shorter answers the first question with the main window. One that is longer
    // answers the second with the tri-view of no window.
    const bool fits = callback.getTriviewControl(nullptr) == nullptr && mainWindow(callback);
    if (fits) return {};
    return "This plugin was built for another branch of Vaa3D. It does nothing here, because it would "
           "crash. Build it against the sources of this program: vaa3d_bridge/plugin/README.md.";
}
