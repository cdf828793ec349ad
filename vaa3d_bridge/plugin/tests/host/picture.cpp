#include "picture.h"

#include <algorithm>
#include <map>

#include <QPainter>

namespace {

QColor colourOf(int type) {
    static const QColor colours[] = {{255, 255, 255}, {20, 20, 20},  {200, 20, 0},  {0, 20, 200},
                                     {200, 0, 200},   {0, 200, 200}, {220, 200, 0}, {0, 200, 20}};
    return colours[std::clamp(type, 0, 7)];
}

}  // namespace

QImage pictureOf(Window& window, int factor) {
    Image4DSimple& image = window.image;
    const auto width = static_cast<int>(image.getXDim());
    const auto height = static_cast<int>(image.getYDim());
    QImage flat(width, height, QImage::Format_RGB32);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            int most = 0;
            for (V3DLONG z = 0; z < image.getZDim(); ++z)
                most = std::max<int>(most, image.getRawData()[(z * height + y) * width + x]);
            flat.setPixel(x, y, qRgb(most, most, most));
        }
    QImage made = flat.scaled(width * factor, height * factor);
    QPainter painter(&made);
    painter.setRenderHint(QPainter::Antialiasing);
    std::map<V3DLONG, QPointF> places;
    const auto& nodes = window.tree.listNeuron;
    for (const NeuronSWC& node : nodes)
        places[node.n] = QPointF((static_cast<double>(node.x) + 0.5) * factor,
                                 (static_cast<double>(node.y) + 0.5) * factor);
    for (const NeuronSWC& node : nodes) {
        painter.setPen(QPen(colourOf(node.type), 3));
        if (places.count(node.pn)) painter.drawLine(places[node.n], places[node.pn]);
    }
    return made;
}
