// Sentences for the user.
#pragma once

#include <QString>

namespace dineuro {
class Error;
struct ServerInfo;
}  // namespace dineuro

// What went wrong, and what to do about it.
QString sentence(const dineuro::Error& error);
// What a server says of itself, in one line.
QString described(const dineuro::ServerInfo& info);
// The stage of a job as a person would call it.
QString stageName(const QString& stage);
// On the terminal.
void say(const QString& text);
QString aboutText();
