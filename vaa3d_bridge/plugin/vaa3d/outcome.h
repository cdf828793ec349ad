// The output of a result: windows, files and a summary.
#pragma once

#include <QStringList>

#include <v3d_interface.h>

#include "client/client.h"
#include "corrections.h"
#include "origins.h"

// Show the enhanced volume of a window's image in a new window.
void showMask(V3DPluginCallback2& callback, v3dhandle image, Image4DSimple& mask,
              const QString& name);

// The current window. An enhanced volume, which comes to the front, stands for its image.
v3dhandle imageWindow(V3DPluginCallback2& callback);

// Bring an image window to the front when all dialogs are closed. Vaa3D then shows the first image
// again, and a new one stays behind it.
void bringToFront(const QString& name);

// The number of nodes of the traced neuron that an image has. A tree that this plugin drew and that
// nobody changed does not count.
int tracedNodes(V3DPluginCallback2& callback, v3dhandle window);

// Draw the tree of a job over an image, in its 3D window. `kept` are the traced neurons that stay.
void drawTree(V3DPluginCallback2& callback, v3dhandle window, const NeuronTree& tree,
              const NeuronTree& kept, const QString& job, Drawing drawing);

// What is known of a tree that was drawn in a window, or loaded into it.
Drawing drawingOf(v3dhandle window, const Origin& origin);

// Write a complete file or none. Throws dineuro::Error("file_access") with the file.
void saveText(const QString& file, const std::string& text);
// As ESWC with the grades of the report, if the name ends with .eswc, and otherwise as SWC.
void saveTree(const QString& file, const dineuro::Result& result);
void saveImage(V3DPluginCallback2& callback, Image4DSimple& image, const QString& file);

// out.swc -> out_doubts.marker
QString doubtsFileOf(const QString& swcFile);

// The size of the tree, its certain share, and the server's warnings.
QString summary(const dineuro::Result& result);
