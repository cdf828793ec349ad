// The output of a result: windows, files and a summary.
#pragma once

#include <QStringList>

#include <v3d_interface.h>

#include "client/client.h"

// Show the enhanced volume in a new window.
v3dhandle showMask(V3DPluginCallback2& callback, Image4DSimple& mask, const QString& name);

// Bring an image window to the front when all dialogs are closed. Vaa3D then shows the first image
// again, and a new one stays behind it.
void bringToFront(const QString& name);

// The number of nodes of the traced neuron that an image has. A tree that this plugin drew and that
// nobody changed does not count.
int tracedNodes(V3DPluginCallback2& callback, v3dhandle window);

// Draw a tree over an image, in its 3D window. `keep` leaves the neuron that is traced already.
void drawTree(V3DPluginCallback2& callback, v3dhandle window, NeuronTree tree, bool keep);

// Write a complete file or none. Throws dineuro::Error("file_access") with the file.
void saveText(const QString& file, const std::string& text);
void saveImage(V3DPluginCallback2& callback, Image4DSimple& image, const QString& file);

// out.swc -> out_doubts.marker
QString doubtsFileOf(const QString& swcFile);

// The size of the tree, its certain share, and the server's warnings.
QString summary(const dineuro::Result& result);
