// What becomes of a result: windows, files, a word on how good it is.
#pragma once

#include <QStringList>

#include <v3d_interface.h>

#include "client/client.h"

// The enhanced volume in a window of its own.
void showMask(V3DPluginCallback2& callback, Image4DSimple& mask, const QString& name);

// The tree over an image, in its 3D window.
void drawTree(V3DPluginCallback2& callback, v3dhandle window, const std::string& swc,
              const QString& name);

// Whole or not at all. Throws dineuro::Error("file_access") naming the file.
void saveText(const QString& file, const std::string& text);
void saveImage(V3DPluginCallback2& callback, Image4DSimple& image, const QString& file);

// out.swc -> out_doubts.marker
QString doubtsFileOf(const QString& swcFile);

// How large the tree is, how much of it is certain, and the server's warnings.
QString summary(const dineuro::Result& result);
