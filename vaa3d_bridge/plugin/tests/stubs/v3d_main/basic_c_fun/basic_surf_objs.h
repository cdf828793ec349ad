// A stand-in for Vaa3D's header of this name, for the tests.
#pragma once

#include <QHash>
#include <QList>
#include <QString>

#include "color_xyz.h"
#include "v3d_basicdatatype.h"

struct BasicSurfObj {
    V3DLONG n = 0;
    RGBA8 color{255, 255, 255, 255};
    bool on = true;
    bool selected = false;
    QString name, comment;
};

struct NeuronSWC : public BasicSurfObj {
    int type = 0;
    float x = 0, y = 0, z = 0;
    union {
        float r = 0;
        float radius;
    };
    union {
        V3DLONG pn = 0;
        V3DLONG parent;
    };
    V3DLONG level = 0;
    QList<float> fea_val;
    V3DLONG seg_id = -1, nodeinseg_id = 0;
    double creatmode = 0, timestamp = 0, tfresindex = 0;
};

struct NeuronTree : public BasicSurfObj {
    QList<NeuronSWC> listNeuron;
    QHash<int, int> hashNeuron;
    QString file;
    bool editable = false;
    int linemode = -1;
};
