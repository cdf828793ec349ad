// What is sent to the server: the file of an image, or the samples in Vaa3D's memory.
#pragma once

#include <QFile>

#include <v3d_interface.h>

#include "client/client.h"
#include "client/tiff.h"

// The file of a window. Vaa3D misreads some TIFFs, and it loses the voxel size of all of them.
class SourceFile {
public:
    // Compares the file with the image, in size and in a sample of voxels.
    SourceFile(const QString& name, Image4DSimple& image);

    bool isKnown() const { return facts_.has_value(); }
    // Whether the file should be sent rather than the image.
    bool isBetter() const { return better_; }
    // Why, as a sentence for the user; empty without a file.
    const QString& reason() const { return reason_; }
    int channels() const { return facts_ ? static_cast<int>(facts_->channels) : 1; }
    // Vaa3D shows the channels of a TIFF as slices, one after the other.
    int slicesPerSlice(const Image4DSimple& image) const;

private:
    void compare(Image4DSimple& image);
    bool isSampledIn(Image4DSimple& image) const;

    QFile file_;
    std::optional<dineuro::TiffFacts> facts_;
    bool better_ = false;
    QString reason_;
};

// A file that is sent as it is, or that the server reads itself.
class FileUpload {
public:
    // Throws dineuro::Error("file_access").
    explicit FileUpload(const QString& name);
    const dineuro::Volume& volume() const { return volume_; }

private:
    QFile file_;
    dineuro::Volume volume_;
};

// Whether the server reads files of this name.
bool isReadByServer(const QString& name);
