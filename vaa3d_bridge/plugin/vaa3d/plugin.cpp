#include "plugin.h"

#include "command.h"
#include "menu.h"
#include "messages.h"

namespace {

// A menu shows "&&" as "&", and does not show a single "&".
const QString kEnhance = QStringLiteral("Enhance && trace\u2026");
const QString kTrace = QStringLiteral("Trace without enhancing\u2026");
const QString kServer = QStringLiteral("Server settings\u2026");
const QString kAbout = QStringLiteral("About and help");

}  // namespace

QStringList DineuroPlugin::menulist() const { return {kEnhance, kTrace, kServer, kAbout}; }

QStringList DineuroPlugin::funclist() const { return {"enhance_trace", "trace", "help"}; }

void DineuroPlugin::domenu(const QString& menu, V3DPluginCallback2& callback, QWidget* parent) {
    if (menu == kEnhance) traceFromMenu(callback, parent, true);
    if (menu == kTrace) traceFromMenu(callback, parent, false);
    if (menu == kServer) serverSettings(parent);
    if (menu == kAbout) about(parent);
}

bool DineuroPlugin::dofunc(const QString& func, const V3DPluginArgList& input,
                           V3DPluginArgList& output, V3DPluginCallback2& callback, QWidget*) {
    if (func == "enhance_trace" || func == "trace")
        return traceFromCommand(callback, input, output, func == "enhance_trace");
    say(commandHelp());
    return func == "help";
}
