// Messages for the user.
#pragma once

#include <QString>

namespace dineuro {
class Error;
struct ServerInfo;
}  // namespace dineuro

// The error and its remedy.
QString sentence(const dineuro::Error& error);
// The description of a server in one line.
QString described(const dineuro::ServerInfo& info);
// The name of a stage for the user.
QString stageName(const QString& stage);
// Print a text on the terminal.
void say(const QString& text);
QString aboutText();
