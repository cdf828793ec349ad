// The output of a result: windows, files and a summary.
#pragma once

#include <QStringList>

#include <v3d_interface.h>

#include "client/client.h"

// Show the enhanced volume in a new window.
void showMask(V3DPluginCallback2& callback, Image4DSimple& mask, const QString& name);

// Draw the tree over an image, in its 3D window.
void drawTree(V3DPluginCallback2& callback, v3dhandle window, const std::string& swc,
              const QString& name);

// Write a complete file or none. Throws dineuro::Error("file_access") with the file.
void saveText(const QString& file, const std::string& text);
void saveImage(V3DPluginCallback2& callback, Image4DSimple& image, const QString& file);

// out.swc -> out_doubts.marker
QString doubtsFileOf(const QString& swcFile);

// The size of the tree, its certain share, and the server's warnings.
QString summary(const dineuro::Result& result);
