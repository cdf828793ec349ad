#include "plugin.h"

#include <QMessageBox>

#include "arguments.h"
#include "command.h"
#include "menu.h"
#include "messages.h"
#include "send_corrections.h"
#include "vtable.h"

namespace {

// A menu shows "&&" as "&", and does not show a single "&".
const QString kEnhance = QStringLiteral("Enhance && trace\u2026");
const QString kTrace = QStringLiteral("Trace without enhancing\u2026");
const QString kDoubts = QStringLiteral("Places to proofread\u2026");
const QString kSend = QStringLiteral("Send corrections\u2026");
const QString kServer = QStringLiteral("Server settings\u2026");
const QString kAbout = QStringLiteral("About and help");

}  // namespace

QStringList DineuroPlugin::menulist() const {
    return {kEnhance, kTrace, kDoubts, kSend, kServer, kAbout};
}

QStringList DineuroPlugin::funclist() const { return {"enhance_trace", "trace", "help"}; }

void DineuroPlugin::domenu(const QString& menu, V3DPluginCallback2& callback, QWidget* parent) {
    const QString refusal = refusalOf(callback);
    if (!refusal.isEmpty()) {
        QMessageBox::critical(parent, "DINeuro", refusal);
        return;
    }
    if (menu == kEnhance) traceFromMenu(callback, parent, true);
    if (menu == kTrace) traceFromMenu(callback, parent, false);
    if (menu == kDoubts) proofread(callback, parent);
    if (menu == kSend) sendCorrections(callback, parent);
    if (menu == kServer) serverSettings(parent);
    if (menu == kAbout) about(parent);
}

bool DineuroPlugin::dofunc(const QString& func, const V3DPluginArgList& input,
                           V3DPluginArgList& output, V3DPluginCallback2& callback, QWidget*) {
    const QString refusal = refusalOf(callback);
    if (!refusal.isEmpty()) {
        say("dineuro: error: " + refusal);
        return false;
    }
    if (func == "enhance_trace" || func == "trace")
        return traceFromCommand(callback, argumentsOf(func, input, output),
                                func == "enhance_trace");
    say(commandHelp());
    return func == "help";
}
